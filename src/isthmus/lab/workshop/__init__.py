"""The hands-on course: by hand first, then with Neutron, then broken labs to find the fault in.

Pure: lessons are texts and commands, faults are what breaks a lab and how it is called. A person
types the commands; a test runs every one of them.
"""
