import json
from pathlib import Path

import pytest

from whet.launch import Order, machine
from whet.machines.profile import MACHINES, TESTED, Machine


def test_a_tested_profile_has_a_results_file():
    for name, file in TESTED.items():
        machine = json.loads((Path(__file__).parents[2] / file).read_text())["machine"]
        assert (machine["gpu"] is None) is (MACHINES[name].device == "cpu")


def said(text: str) -> Machine:
    return machine(Order("quickstart", machine=text))


def test_a_profile_is_named_and_fields_behind_its_name_change_it():
    assert said("cpu") is MACHINES["cpu"]
    assert said("cpu,checkpointing=true,rows=64") == Machine(checkpointing=True, rows=64)
    assert said("cuda,precision=fp32").precision == "fp32"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tpu", "there is no machine profile 'tpu'; there are cpu, cuda"),
        ("cpu,checkpoint=true", "nearest are checkpointing"),
        ("cpu,checkpointing", "path=value"),
        ("cpu,precision=int8", "precision"),
        ("cpu,rows=0", "at least 1"),
        ("cpu,threads=-1", "Machine.threads must be at least 1, or 0"),
    ],
)
def test_what_is_no_profile_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        said(text)
