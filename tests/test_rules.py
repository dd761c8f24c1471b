import pytest

from amssim import SchemeError, reference, rules


def test_the_names_are_those_the_specification_knows():
    assert rules.SEARCH_RULES == ("adaptive", "replace", "majority", "zero", "one")
    assert rules.SCALE_RULES == ("absmax", "mse")
    assert [rules.check_search(r) for r in rules.SEARCH_RULES] == list(rules.SEARCH_RULES)
    assert [rules.check_scale(r) for r in rules.SCALE_RULES] == list(rules.SCALE_RULES)


def test_the_mse_factors_are_those_of_the_format():
    assert len(rules.MSE_FACTORS) == 15
    assert (rules.MSE_FACTORS[0], rules.MSE_FACTORS[-1]) == (0.7, 1.05)
    assert reference.SMALLEST_SCALE == 2.0**-126


@pytest.mark.parametrize("name", ["best", "", None, 3])
def test_unknown_rules_list_the_choices(name):
    with pytest.raises(SchemeError, match="choose one of adaptive, replace, majority, zero, one"):
        rules.check_search(name)
    with pytest.raises(SchemeError, match=r"unknown scale rule .*: choose one of absmax, mse"):
        rules.check_scale(name)
