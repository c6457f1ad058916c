"""From racks to running sites: fleet file in, machines with an operating system out.

`fleet` reads and checks the file, `source` makes one of other tools' lists, `plan` says what will
be done, `boot` renders what boot services and installers read, `configure` what Ansible does,
`run`
decides what comes next and tells how it stands. Pure, but for files in the state folder of a build
and for the Protocols in `run.protocols`, through which `wiring.build_run` lets it act.
"""
