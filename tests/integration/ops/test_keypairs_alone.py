"""Signing where the library for it is not installed."""

import subprocess
import sys

import pytest


@pytest.mark.windows
def test_without_the_library_a_sentence_says_what_to_install():
    program = (
        "import sys; sys.modules['cryptography'] = None\n"
        "from artifact_store import Signer, errors\n"
        "try: Signer.from_pem(b'-----BEGIN')\n"
        "except errors.SigningUnavailable as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert 'pip install "cryptography>=' in done.stdout
