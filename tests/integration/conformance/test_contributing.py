"""The codec that CONTRIBUTING shows, held to the suite that CONTRIBUTING names."""

from fractions import Fraction

import pytest

from artifact_store.testing import CodecSuite
from tests.contributing import defined

pytestmark = pytest.mark.windows


class TestTheCodecOfThePage(CodecSuite):
    @pytest.fixture
    def codec(self):
        return defined("class FractionCodec", "FractionCodec")()

    @pytest.fixture
    def examples(self):
        return [Fraction(1, 3), Fraction(0), Fraction(-7, 2), Fraction(10**30 + 1, 10**30)]
