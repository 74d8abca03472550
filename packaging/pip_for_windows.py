"""pip, with requirements' markers (`; sys_platform == "win32"`) answered as on Windows.

--platform and --python-version choose the files; the markers pip would still answer for the system it runs on.
"""

import sys

from pip._internal.cli.main import main
from pip._vendor.packaging import markers

WINDOWS = {
    "implementation_name": "cpython",
    "implementation_version": "3.11.9",
    "os_name": "nt",
    "platform_machine": "AMD64",
    "platform_python_implementation": "CPython",
    "platform_release": "10",
    "platform_system": "Windows",
    "platform_version": "10.0.19045",
    "python_full_version": "3.11.9",
    "python_version": "3.11",
    "sys_platform": "win32",
}

markers.default_environment = lambda: dict(WINDOWS)
sys.exit(main())
