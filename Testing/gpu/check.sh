#!/usr/bin/env bash
# Correctness, training and speed on a machine with a GPU, in a quarter of an hour: Testing/gpu/check.sh [OUTPUT_FOLDER]
# Two minutes of tests, TRAIN_SECONDS (300; 0 leaves it out) of training from the bundled weights, eight of measurements:
# first what the device works of a frame's time, half precision against float32, looks in batches and label warps.
# Leaves tests.txt, training/ (model.pt, its card, checkpoint.pt, log.csv) and speed_gpu.json, speed.md there.
# PYTHON: of an environment in which the project and pytest are installed.
set -euo pipefail
cd "$(dirname "$0")/../.."
output=${1:-gpu-check}
python=${PYTHON:-.venv/bin/python}
seconds=${TRAIN_SECONDS:-300}
mkdir -p "$output"
"$python" -c 'import torch; print("torch", torch.__version__, torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU")'
timeout 120 "$python" -m pytest Testing/gpu -q -rs | tee "$output/tests.txt"
if [ "$seconds" -gt 0 ]; then
    timeout $((seconds + 60)) "$python" -m VoxelMorphRegistrationLib.training "$output/training" \
        --start VoxelMorphRegistration/Resources/Models/any-anatomy.pt --budget "${seconds}s" --seed 10 --size 64 \
        --batch 8 --accumulate 2 --learning-rate 4e-4 --displacement 0.4 8 --held-back 12 --check-every 400 \
        | tee "$output/training.txt"
fi
timeout 480 "$python" -m Testing.benchmarks.speed.run --only gpu --record-in "$output" | tee "$output/speed.txt"
