#!/usr/bin/env python3
"""Which lab it is, and how to reach its hosts, for Ansible: from the environment, as for tests/lab/lab.

As an inventory's script it is asked once a playbook; a lookup in group_vars is made for each connection of each task,
which was two thirds of what the controller spent on compiling templates.
"""

import json
import os

NETS = {"demo": "10.77.0", "test": "10.78.0", "molecule": "10.79.0", "faults": "10.76.0"}

name = os.environ.get("LAB_NAME") or "demo"
root = os.environ.get("LAB_ROOT") or "/var/lib/webmon-lab"
directory = f"{root}/labs/{name}"
where = {
    "lab_name": name,
    "lab_root": root,
    "lab_net": os.environ.get("LAB_NET") or NETS.get(name) or "give LAB_NET",
    "lab_dir": directory,
}
# Not in "all": there it would hit localhost too.
reached = {
    "ansible_user": "root",
    "ansible_ssh_private_key_file": f"{directory}/ssh/id_ed25519",
    "ansible_ssh_common_args": f"-o UserKnownHostsFile={directory}/ssh/known_hosts -o StrictHostKeyChecking=yes "
    "-o ConnectTimeout=5",
}
print(json.dumps({"_meta": {"hostvars": {}}, "all": {"vars": where}, "lab": {"vars": reached}}))
