#!/usr/bin/env python3
"""How cost grows with n: runs sort and groupby-sum for n = 2^14 to 2^23 and draws docs/scaling.svg.

    scripts/bench-scaling.py TRINED [--net tls|mem] [--to 23] [--from-json FILE]

Each run's JSON goes to standard output, a line each; the whole takes some minutes and, at 2^23, 2 GB for all parties
and the comparison with the plaintext. With --from-json such lines are drawn again
instead of measured. The vertical axis is processor time of a party for one row and one level,
t / (n log2 n): a flat line is n log n. (Wall time says more about what else runs on the machine.)
"""
import argparse
import json
import math
import subprocess
import sys

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 400, 70, 150, 40, 50
COLOURS = {"sort": "#1f77b4", "groupby-sum": "#d62728"}


def measure(trined, net, to):
    runs = []
    for op in COLOURS:
        for power in range(14, to + 1):
            repeat = "3" if power <= 18 else "1"
            command = [trined, "bench", op, "--rows", str(1 << power), "--bits", "32",
                       "--net", net, "--repeat", repeat, "--json"]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            line = done.stdout.splitlines()[-1]
            print(line, flush=True)
            runs.append(json.loads(line))
    return runs


def draw(runs, path):
    series = {}
    for run in runs:
        assert run["verified"]
        n = run["rows"]
        series.setdefault(run["op"], []).append((math.log2(n), run["cpu_s"] / (n * math.log2(n)) * 1e9))
    lowest = min(x for points in series.values() for x, _ in points)
    highest = max(x for points in series.values() for x, _ in points)
    top = max(y for points in series.values() for _, y in points) * 1.15

    def place(x, y):
        across = (x - lowest) / max(highest - lowest, 1)
        return (LEFT + across * (WIDTH - LEFT - RIGHT),
                HEIGHT - BOTTOM - y / top * (HEIGHT - TOP - BOTTOM))

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
           'font-family="sans-serif" font-size="12">',
           f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
           f'<text x="{LEFT}" y="20" font-size="14">Processor time of a party for one row and '
           'one level, t / (n log2 n), ns (flat = n log n)</text>']
    for power in range(math.ceil(lowest), math.floor(highest) + 1):
        x, y = place(power, 0)
        out.append(f'<text x="{x:.1f}" y="{y + 18:.1f}" text-anchor="middle">2^{power}</text>')
    for step in range(5):
        value = top * step / 4
        x, y = place(lowest, value)
        out.append(f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="#ddd"/>')
        out.append(f'<text x="{x - 8:.1f}" y="{y + 4:.1f}" text-anchor="end">{value:.1f}</text>')
    for op, points in series.items():
        points.sort()
        colour = COLOURS.get(op, "black")
        placed = [place(x, y) for x, y in points]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        out.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in placed]
        x, y = placed[-1]
        out.append(f'<text x="{x + 10:.1f}" y="{y + 4:.1f}" fill="{colour}">{op}, 32-bit keys</text>')
    out.append("</svg>")
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(out) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("trined", nargs="?")
    parser.add_argument("--net", default="tls")
    parser.add_argument("--to", type=int, default=23)
    parser.add_argument("--from-json")
    parser.add_argument("--output", default="docs/scaling.svg")
    arguments = parser.parse_args()
    if arguments.from_json:
        with open(arguments.from_json, encoding="utf-8") as file:
            runs = [json.loads(line) for line in file if line.strip()]
    elif arguments.trined:
        runs = measure(arguments.trined, arguments.net, arguments.to)
    else:
        sys.exit("name the program trined, or --from-json FILE")
    draw(runs, arguments.output)


if __name__ == "__main__":
    main()
