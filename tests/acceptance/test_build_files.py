"""The files of services, as Ansible itself has them written: its values are not plain strings."""

import configparser
import json
import os
import subprocess
import sys
from pathlib import Path

import yaml
from tests.lab.bare import write_state
from tests.lab.test_build_site import COMPUTE_FLEET, NODES

BIN = Path(sys.executable).parent
PLAY = """\
- hosts: all
  gather_facts: false
  vars:
    tier: "{{ isthmus_tier }}"
    words: "{{ isthmus_passwords }}"
    users: "{{ isthmus_passwords | dict2items | items2dict(value_name='key') }}"
    addresses: "{{ isthmus_addresses_of_tiers }}"
    made:
      sql: "{{ tier | isthmus.site.databases(words) | isthmus.site.database_sql }}"
      keystone: "{{ (tier | isthmus.site.keystone_files(words))[0].text }}"
      neutron: "{{ (tier | isthmus.site.neutron_files(words, users, ''))[0].text }}"
      xjob: "{{ (tier | isthmus.site.xjob_file(words)).text }}"
      people: "{{ tier | isthmus.site.people(addresses, words) | to_json }}"
      clouds: "{{ tier | isthmus.site.clouds(words) }}"
  tasks:
  - name: Write
    ansible.builtin.copy:
      content: "{{ item.value }}"
      dest: "{{ playbook_dir }}/{{ inventory_hostname }}.{{ item.key }}"
      mode: "0600"
    loop: "{{ made | dict2items }}"
    loop_control: {label: "{{ item.key }}"}
    no_log: true
- hosts: service_nova_api
  gather_facts: false
  vars:
    tier: "{{ isthmus_tier }}"
    words: "{{ isthmus_passwords }}"
    users: "{{ isthmus_passwords | dict2items | items2dict(value_name='key') }}"
    host:
      name: "{{ inventory_hostname }}"
      address: "{{ isthmus_service_address }}"
      environment: /opt/isthmus
    made: >-
      {{ (tier | isthmus.site.rabbitmq_files(words, '+S 1:1'))
         + (tier | isthmus.site.placement_files(words))
         + (tier | isthmus.site.glance_files(words, '/paste'))
         + (tier | isthmus.site.nova_files(words, users, '', 2))
         + [tier | isthmus.site.compute_file(words, host, 'kvm')] }}
  tasks:
  - name: Write
    ansible.builtin.copy:
      content: "{{ item.text }}"
      dest: "{{ playbook_dir }}/{{ inventory_hostname }}.{{ item.path | basename }}"
      mode: "0600"
    loop: "{{ made }}"
    loop_control: {label: "{{ item.path }}"}
    no_log: true
"""


def test_ansible_writes_what_services_read(tmp_path: Path) -> None:
    from isthmus.wiring.build_configure import make_secrets

    (tmp_path / "fleet.yaml").write_text(COMPUTE_FLEET)
    (tmp_path / "play.yaml").write_text(PLAY)
    write_state(tmp_path / "state", list(NODES), tmp_path / "no-key")
    assert make_secrets(tmp_path / "fleet.yaml", tmp_path / "state")
    command = [sys.executable, "-c", "from isthmus.cli.main import run; run()"]
    words = ["build", "configure", "fleet.yaml", "play.yaml", "--state", "state"]
    path = f"{BIN}:{os.environ['PATH']}"
    done = subprocess.run(
        [*command, *words], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, "PATH": path, "ANSIBLE_TRANSPORT": "local"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + done.stdout

    def text(name: str) -> str:
        return (tmp_path / name).read_text()

    def read(name: str) -> configparser.ConfigParser:
        parser = configparser.ConfigParser(interpolation=None)
        parser.read_string(text(name))
        return parser

    clouds = yaml.safe_load(text("c1.clouds"))["clouds"]
    assert list(clouds) == ["middle", "north"]
    password = clouds["north"]["auth"]["password"]
    people = json.loads(text("n1.people"))
    assert {row["url"] for row in people["endpoints"] if row["service_type"] == "network"} == {
        f"http://{address}:9696" for address in NODES.values()
    }
    assert read("c1.neutron")["DEFAULT"]["core_plugin"] == "isthmus_central"
    assert read("n1.neutron")["ovn"]["ovn_sb_connection"] == "tcp:192.0.2.17:6642"
    assert "isthmus_xjob:north" in read("c1.xjob")
    assert read("c1.keystone")["database"]["connection"].startswith("mysql+pymysql://keystone:")
    assert "keystone" in text("c1.sql")
    assert "keystone" not in text("n1.sql")
    assert "GRANT ALL ON nova_cell1.* TO nova@localhost" in text("n1.sql")
    assert read("n1.nova.conf")["conductor"]["workers"] == "2"
    assert read("n1.nova-compute.conf")["libvirt"]["virt_type"] == "kvm"
    assert read("n1.placement.conf")["placement_database"]["connection"].count("placement") == 2
    assert "user_id:neutron-north" in text("n1.policy.yaml")
    assert json.loads(text("n1.definitions.json"))["vhosts"] == [{"name": "/"}, {"name": "cell1"}]
    assert password not in done.stdout + done.stderr
