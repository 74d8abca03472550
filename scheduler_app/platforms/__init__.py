"""What differs between operating systems, behind one set of names: the only place that asks which one this is.

Imports the standard library alone until processes are involved, so that a bare Python can use the rest.
"""

import sys

from scheduler_app.platforms.process_tree import TREE_VARIABLE, ProcessTree
from scheduler_app.platforms.rabbitmq import RabbitMQInstallation, find_rabbitmq

if sys.platform == "win32":
    from scheduler_app.platforms.windows import (
        control_address,
        default_pool,
        has_display,
        is_restricted,
        kill_own_tree,
        login_start,
        pystray_backend,
        rabbitmq_install_hint,
        restrict_to_owner,
        run_hidden,
        show_to_person,
        signal_main_thread,
        spawn,
        spawn_detached,
        venv_install_hint,
        windowless_python,
        write_any_character,
    )
else:
    from scheduler_app.platforms.posix import (
        control_address,
        default_pool,
        has_display,
        is_restricted,
        kill_own_tree,
        login_start,
        pystray_backend,
        rabbitmq_install_hint,
        restrict_to_owner,
        run_hidden,
        show_to_person,
        signal_main_thread,
        spawn,
        spawn_detached,
        venv_install_hint,
        windowless_python,
        write_any_character,
    )

from scheduler_app.platforms.ports import port_holder

__all__ = [
    "TREE_VARIABLE",
    "ProcessTree",
    "RabbitMQInstallation",
    "control_address",
    "default_pool",
    "find_rabbitmq",
    "has_display",
    "is_restricted",
    "kill_own_tree",
    "login_start",
    "port_holder",
    "pystray_backend",
    "rabbitmq_install_hint",
    "restrict_to_owner",
    "run_hidden",
    "show_to_person",
    "signal_main_thread",
    "spawn",
    "spawn_detached",
    "venv_install_hint",
    "windowless_python",
    "write_any_character",
]
