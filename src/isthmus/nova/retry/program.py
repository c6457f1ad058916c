"""nova-conductor with tries in other cells.

It is started as `python -m isthmus.nova.retry.program --config-file FILE`, and is Nova's
own program. The class of its tasks is replaced before it begins; nothing is written into Nova's
folder.
"""


def register() -> None:
    """Have nova-conductor make our tasks; idempotent."""
    from nova.conductor import manager

    from isthmus.nova.retry.tasks import Tasks

    manager.ComputeTaskManager = Tasks


def run() -> None:
    """Run nova-conductor."""
    from nova.cmd import conductor

    register()
    conductor.main()


if __name__ == "__main__":
    run()
