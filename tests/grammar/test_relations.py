"""The relations inside messages speak of fields and values that exist."""

from grammar import relations, schema


def test_relations_speak_of_fields_that_exist() -> None:
    messages = {name: message for kind in schema.kinds() for name, message in kind.messages.items()}
    for name, keys in relations.KEYS.items():
        assert all(part in messages[name].fields for key in keys for part in key)
    for name, field in relations.OBVIOUS.items():
        assert field in messages[name].fields
    for name, alternatives in relations.ALTERNATIVES.items():
        assert set(alternatives) <= set(messages[name].fields)
        assert set(alternatives.values()) <= set(schema.enums()[messages[name].fields["type"].enum or ""])
