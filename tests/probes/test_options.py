import pytest

from sft_probe.errors import SpecError
from sft_probe.probes import options


def test_sound_values_pass() -> None:
    options.at_least("p", 1, limit=None, positions=1)
    options.one_of("p", ("gold", "tuned"), contexts="gold")
    options.name("p", dataset="test")
    options.names("p", tasks=("world",))
    options.share("p", tolerance=0, rate=0.5)


def test_a_refusal_names_probe_option_value_and_remedy() -> None:
    with pytest.raises(SpecError) as refusal:
        options.one_of("token_shift", ("gold", "tuned"), contexts="tund")
    assert str(refusal.value) == (
        "field 'probes.token_shift.contexts': 'tund' cannot be used. Did you mean 'tuned'?"
    )
    with pytest.raises(SpecError, match="Give a whole number from 1 upwards"):
        options.at_least("token_shift", 1, limit=0)
    with pytest.raises(SpecError, match="Give a number from 0 to 1"):
        options.share("task_alignment", tolerance=1.5)
