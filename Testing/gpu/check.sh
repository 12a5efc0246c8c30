#!/usr/bin/env bash
# Correctness, then speed, on a machine with a GPU: Testing/gpu/check.sh [OUTPUT_FOLDER]
# Two minutes of tests and three of measurements (speed.json, SPEED.md, speed.png in the folder, default gpu-check).
# PYTHON: of an environment in which the project and pytest are installed.
set -euo pipefail
cd "$(dirname "$0")/../.."
output=${1:-gpu-check}
python=${PYTHON:-.venv/bin/python}
mkdir -p "$output"
"$python" -c 'import torch; print("torch", torch.__version__, torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU")'
timeout 120 "$python" -m pytest Testing/gpu -q -rs | tee "$output/tests.txt"
timeout 180 "$python" -m Testing.benchmarks.speed.run --quick --only forward direct sequence --minutes 1 \
    --output "$output" --plot "$output/speed.png" | tee "$output/speed.txt"
