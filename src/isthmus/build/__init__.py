"""From racks to running sites: fleet file in, machines with an operating system out.

`fleet` reads and checks the file, `plan` says what will be done, `render` writes what boot
services and installers read, `run` decides what comes next, `watch` tells how it stands. All pure,
but for the Protocols in `ports`, through which `wiring.build` lets them act.
"""
