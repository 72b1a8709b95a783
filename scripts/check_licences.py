"""Licences and owner crates of `cargo metadata` (stdin) against deny.toml (argument)."""

import json
import re
import sys

deny = open(sys.argv[1], encoding="utf-8").read()
allowed = set(re.findall(r'"([^"]+)"', re.search(r"allow = \[(.*?)\]", deny, re.S).group(1)))
owners = {
    name: set(re.findall(r'"([^"]+)"', wrappers))
    for name, wrappers in re.findall(r'name = "([^"]+)", wrappers = \[(.*?)\]', deny)
}
metadata = json.load(sys.stdin)
names = {p["id"]: p["name"] for p in metadata["packages"]}
problems = []


def permitted(expression):
    """Whether an SPDX expression (AND of ORs, WITH exceptions) can be met by allowed licences."""
    for part in re.split(r"\s+AND\s+", expression.replace("(", " ").replace(")", " ").strip()):
        options = [o.strip() for o in re.split(r"\s+OR\s+|/", part)]
        if not any(o in allowed for o in options):
            return False
    return True


for package in metadata["packages"]:
    licence = package["license"] or ""
    if not permitted(licence):
        problems.append(f"{package['name']} {package['version']}: licence {licence or 'unknown'}")
for node in metadata["resolve"]["nodes"]:
    for dependency in node["deps"]:
        owner = owners.get(names[dependency["pkg"]])
        if owner is not None and names[node["id"]] not in owner:
            problems.append(f"{names[node['id']]} may not depend on {names[dependency['pkg']]}")
for problem in problems:
    print(problem)
print(f"licences and owner crates of {len(metadata['packages'])} packages: {len(problems)} problems")
sys.exit(1 if problems else 0)
