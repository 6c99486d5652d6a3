"""Our signer and verifier, tried by the suite of OpenSSF Model Signing."""
