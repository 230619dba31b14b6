"""The JSON Schema that editors get, held against definitions that Gantry took."""
import json
import pathlib

import jsonschema
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCHEMA = json.loads((ROOT / "deploy/schema/gantry-v1.schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def problems(text):
    """What the schema has against any document of a YAML stream, as an editor would say it."""
    return [f"{e.json_path}: {e.message[:300]}" for document in yaml.safe_load_all(text) if document is not None
            for e in VALIDATOR.iter_errors(document)]


def assert_valid(text):
    found = problems(text)
    assert not found, "gantry took what the schema refuses:\n" + "\n".join(found) + "\n" + text
