#!/usr/bin/env python3
"""Whether the engine chooses well on slow networks: its own choice beside each forced circuit form.

    scripts/bench-latency.py TRINED [--net mem|tls] [--mbit B] [--op OP] [--rows N] [--rtt MS]

With --op, --rows or --rtt only the rows of the table that they name: for measuring it in pieces.

Prints a Markdown table: seconds for round trips of 1, 10 and 50 ms. "off by" is the engine's choice
over the better of the forced forms; a choice within 20 % says 1.20 or less.
"""
import argparse
import json
import subprocess

CASES = [("lt", 1 << 10, 64), ("lt", 1 << 16, 64), ("lt", 1 << 20, 64),
         ("a2b", 1 << 10, 64), ("a2b", 1 << 16, 64), ("a2b", 1 << 20, 64),
         ("sort", 1 << 10, 32), ("sort", 1 << 13, 32)]


def run(arguments, op, rows, bits, rtt, more):
    command = [arguments.trined, "bench", op, "--rows", str(rows), "--bits", str(bits),
               "--net", arguments.net, "--rtt-ms", str(rtt), "--repeat", "2", "--json", *more]
    if arguments.mbit:
        command += ["--mbit", str(arguments.mbit)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["verified"] and result["cost_as_predicted"], result
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("trined")
    parser.add_argument("--net", default="mem")
    parser.add_argument("--mbit", type=int)
    parser.add_argument("--op")
    parser.add_argument("--rows", type=int)
    parser.add_argument("--rtt", type=int)
    arguments = parser.parse_args()
    print("| operation | rows | bits | round trip ms | chosen s (rounds, B/row) "
          "| ripple s (rounds, B/row) | tree s (rounds, B/row) | off by |")
    print("|---|---|---|---|---|---|---|---|")
    for op, rows, bits in CASES:
        if op != (arguments.op or op) or rows != (arguments.rows or rows):
            continue
        for rtt in (1, 10, 50):
            if rtt != (arguments.rtt or rtt):
                continue
            runs = [run(arguments, op, rows, bits, rtt, more)
                    for more in ([], ["--form", "ripple"], ["--form", "tree"])]
            cells = [f'{r["wall_s"]:.3f} ({r["rounds"]}, {r["bytes_per_row"]:.1f})' for r in runs]
            off = runs[0]["wall_s"] / min(r["wall_s"] for r in runs[1:])
            print(f'| {op} | {rows} | {bits} | {rtt} | {" | ".join(cells)} | {off:.2f} |', flush=True)


if __name__ == "__main__":
    main()
