"""What differs between operating systems, behind one set of names: the only place that asks which one this is.

Imports the standard library alone until processes are involved, so that a bare Python can use the rest.
"""

import sys

from scheduler_app.platforms.background import ServiceManagerError
from scheduler_app.platforms.process_tree import TREE_VARIABLE, ProcessTree, Root
from scheduler_app.platforms.rabbitmq import (
    SUPPORTED_RABBITMQ,
    RabbitMQInstallation,
    find_rabbitmq,
    is_supported_rabbitmq,
)

if sys.platform == "win32":
    from scheduler_app.platforms.windows import (
        adopt_orphans,
        background_service,
        control_address,
        default_pool,
        end_descendants,
        end_tree,
        has_display,
        is_restricted,
        kill_own_tree,
        limit_this_process,
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
        adopt_orphans,
        background_service,
        control_address,
        default_pool,
        end_descendants,
        end_tree,
        has_display,
        is_restricted,
        kill_own_tree,
        limit_this_process,
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
    "SUPPORTED_RABBITMQ",
    "TREE_VARIABLE",
    "ProcessTree",
    "RabbitMQInstallation",
    "Root",
    "ServiceManagerError",
    "adopt_orphans",
    "background_service",
    "control_address",
    "default_pool",
    "end_descendants",
    "end_tree",
    "find_rabbitmq",
    "has_display",
    "is_restricted",
    "is_supported_rabbitmq",
    "kill_own_tree",
    "limit_this_process",
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
