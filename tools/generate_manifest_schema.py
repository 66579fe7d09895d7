"""Write docs/manifest.schema.json, the JSON Schema of a task's manifest.

python tools/generate_manifest_schema.py            write the file
python tools/generate_manifest_schema.py --check    exit 1 if it is stale
"""

import json
import sys
from pathlib import Path

from zerostate.execution.manifest import manifest_schema

SCHEMA = Path(__file__).resolve().parent.parent / "docs" / "manifest.schema.json"


def main() -> int:
    """Write the schema, or check that it is what would be written."""
    text = json.dumps(manifest_schema(), indent=2) + "\n"
    if "--check" not in sys.argv[1:]:
        SCHEMA.write_text(text)
        return 0
    if SCHEMA.exists() and SCHEMA.read_text() == text:
        return 0
    print("docs/manifest.schema.json is stale: run this without --check")
    return 1


if __name__ == "__main__":
    sys.exit(main())
