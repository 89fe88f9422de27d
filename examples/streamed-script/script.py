"""Any program that prints. Lines of JSON are published as JSON, all others as text."""

import json
import sys
import time

SECONDS_A_STEP = 0.2

print("Backing up 30 folders")
for number in range(1, 31):
    time.sleep(SECONDS_A_STEP)
    print(json.dumps({"folder": f"photos/{number:02}", "files": 37 * number % 101}))
    if number % 10 == 0:
        print(f"photos/{number:02}: 1 file cannot be read", file=sys.stderr)
print("Done")
