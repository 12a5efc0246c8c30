"""Tests on each device that there is; `check.sh` runs them and the speed benchmark on a machine with a GPU."""
