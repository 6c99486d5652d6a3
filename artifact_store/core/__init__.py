"""The rules of the store, without any input or output: identity, manifest, pointer, features, trust."""
