"""Part of `make lint`: asks pip-audit whether a package of requirements.lock is known to be unsafe.

    python -m tests.vulnerabilities requirements.lock

Exit code 1 if one is, after a line for each with the version that mends it. Without a network nothing is
known, which is said and is no failure.
"""

import json
import subprocess
import sys

# No second resolution: the lock is all that there is, with its hashes.
AUDIT = ("--disable-pip", "--require-hashes", "--format", "json", "--progress-spinner", "off")


def main(lock: str) -> int:
    command = [sys.executable, "-m", "pip_audit", *AUDIT, "--desc", "off", "--requirement", lock]
    done = subprocess.run(command, capture_output=True, text=True)
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except ValueError:  # it ends with a traceback when nobody answers
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        print(f"not audited: {lock} ({last[:200]})")
        return 0
    return tell(lock, packages)


def tell(lock: str, packages: list[dict]) -> int:
    """Print what pip-audit found out, given its "dependencies"."""
    known = [package for package in packages if "vulns" in package]
    unsafe = [package for package in known if package["vulns"]]
    for package in unsafe:
        for found in package["vulns"]:
            mended = ", ".join(found["fix_versions"]) or "no version yet"
            names = ", ".join([found["id"], *found.get("aliases", [])])
            print(f"{lock}: {package['name']} {package['version']} is unsafe ({names}); mended in {mended}")
    if not known:
        print(f"not audited: {lock} (the package index has no word on any of its {len(packages)} packages)")
    elif not unsafe:
        told = f"; nothing is known of {len(packages) - len(known)} others" * (len(known) < len(packages))
        print(f"{lock}: {len(known)} packages audited, none known to be unsafe{told}")
    return int(bool(unsafe))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
