# SPDX-License-Identifier: MIT
"""Commands and pretty printers for gdb. In gdb:

    source scripts/gdb/rosterd_gdb.py

    rosterd segment      the segment that this process maps: version, users, memory, tables
    rosterd slots        the processes that take part, and the versions that their pins hold
    rosterd users [N]    the first N users (10), oldest first, with all versions of their bodies
    rosterd log          the redo log: whether a commit is sealed, and the words that it changes

and `print *node`, `print *body`, `print *slot`, `print *pin` show the fields that matter, with names
for states. A live worker, a test program and a core work alike, as long as the segment is mapped in
it (docs/store.md has the byte map). The commands follow plain pointers and treat nothing as hostile:
for a damaged segment use `shm-inspect verify`.
"""
import uuid

import gdb
import gdb.printing

# SHM_BASE of shm/core/layout.h: a macro, which the debugger does not know.
BASE = {"i386:x86-64": 0x7E9000000000}
BASE_ELSEWHERE = 0x400000000
MOST_VERSIONS = 20  # of one user that `rosterd users` shows
SHOWN_BYTES = 60    # of a body


def base():
    return BASE.get(gdb.selected_inferior().architecture().name(), BASE_ELSEWHERE)


def struct_at(name, address):
    return gdb.Value(address).cast(gdb.lookup_type(f"struct {name}").pointer()).dereference()


def constant(name):
    return int(gdb.parse_and_eval(name))


def enum_name(enum, value):
    """The name of a value without its prefix, in lower case; the number if there is no name."""
    for field in gdb.lookup_type(f"enum {enum}").fields():
        if field.enumval == int(value):
            return field.name.rpartition("_")[2].lower()
    return str(int(value))


def read_bytes(address, length):
    return gdb.selected_inferior().read_memory(int(address), length).tobytes()


def body_bytes(body):
    return read_bytes(int(body["bytes"].address), int(body["length"])) if body["length"] else b""


def id_text(node):
    return str(uuid.UUID(bytes=read_bytes(int(node["id"].address), 16)))


def wire_fields(data):
    """Yields (number, value) of a protobuf message; raises IndexError or ValueError if it is none."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value
    while at < len(data):
        tag = varint()
        if tag & 7 == 0:
            yield tag >> 3, varint()
        elif tag & 7 == 2:
            length = varint()
            if at + length > len(data):
                raise ValueError("cut")
            yield tag >> 3, data[at:at + length]
            at += length
        else:
            raise ValueError("another wire type")


def show_body(data):
    """A body as `2="ada" 3="ada@example.org" 4=1700000000`, by the field numbers of the User message;
    any other body as its first bytes."""
    try:
        return " ".join(f'{number}="{value.decode()}"' if isinstance(value, bytes)
                        else f"{number}={value}" for number, value in wire_fields(data))
    except (IndexError, ValueError):
        return repr(data[:SHOWN_BYTES])[1:] + ("..." if len(data) > SHOWN_BYTES else "")


def show_died(died):
    return "alive" if int(died) == 2 ** 64 - 1 else f"died {int(died)}"


class NodePrinter:
    """struct shm_node: the identity of a user."""

    def __init__(self, value):
        self.value = value

    def to_string(self):
        node = self.value
        return (f"node seq {int(node['seq'])} {id_text(node)} {enum_name('shm_node_state', node['state'])}"
                f" born {int(node['born'])} {show_died(node['died'])} body {int(node['body']):#x}")


class BodyPrinter:
    """struct shm_body: one version of a user."""

    def __init__(self, value):
        self.value = value

    def to_string(self):
        body = self.value
        return (f"body {enum_name('shm_body_state', body['state'])} born {int(body['born'])} "
                f"{show_died(body['died'])} {int(body['length'])} bytes: {show_body(body_bytes(body))}")


class PinPrinter:
    """struct shm_pin: a version that snapshots of one process hold."""

    def __init__(self, value):
        self.value = value

    def to_string(self):
        pin = self.value
        return (f"pin version {int(pin['version'])} of {int(pin['count'])} snapshots, keeps "
                f"{int(pin['held_count'])} bodies of {int(pin['held_bytes'])} bytes"
                + (", revoked" if int(pin["revoked"]) else ""))


class SlotPrinter:
    """struct shm_slot: a process that takes part."""

    def __init__(self, value):
        self.value = value

    def to_string(self):
        slot = self.value
        if not int(slot["state"]):
            return "slot free"
        ctr = int(slot["ctr"])
        return (f"slot of {enum_name('shm_actor_kind', slot['kind'])} {int(slot['number'])}, pid "
                f"{int(slot['pid'])}, " + (f"online since grace period {ctr}" if ctr else "offline")
                + f", {len(list(pins_of(slot)))} pins, reserve of {int(slot['reserve_count'])}")


def pins_of(slot):
    for i in range(int(slot["pins_high"])):
        pin = slot["pins"][i]
        if int(pin["count"]) or int(pin["held"]):
            yield i, pin


class Rosterd(gdb.Command):
    """Shows the segment of this process. Subcommands: segment, slots, users, log."""

    def __init__(self):
        super().__init__("rosterd", gdb.COMMAND_DATA, gdb.COMPLETE_NONE, True)


class SegmentCommand(gdb.Command):
    """rosterd segment: version, users, memory and tables of the segment."""

    def __init__(self):
        super().__init__("rosterd segment", gdb.COMMAND_DATA)

    def invoke(self, argument, from_tty):
        c = control()
        print(f"segment at {base():#x}, layout {int(header()['layout']):016x}")
        print(f"version {int(c['version'])}, grace period {int(c['gp'])}, "
              f"{int(c['users'])} of {int(c['max_users'])} users, last seq {int(c['seq'])}")
        print(f"arena to {int(c['arena_end']) - base()} of {int(c['limit'])} bytes")
        print(f"table ids: {int(c['ids']['count'])} buckets")
        for key in range(constant("SHM_KEYS")):
            if int(c["unique"][key]["count"]):
                print(f"table unique {key}: {int(c['unique'][key]['count'])} buckets")
        for queue in ("retired", "unlinked"):
            print(f"queue {queue}: {int(c[queue]['count'])} bodies, {int(c[queue]['bytes'])} bytes")
        print(f"held by snapshots: {int(c['held_count'])} bodies, {int(c['held_bytes'])} bytes")


class SlotsCommand(gdb.Command):
    """rosterd slots: the processes that take part and the versions that their pins hold."""

    def __init__(self):
        super().__init__("rosterd slots", gdb.COMMAND_DATA)

    def invoke(self, argument, from_tty):
        slot_type = gdb.lookup_type("struct shm_slot")
        for i in range(int(control()["slots_ready"])):
            slot = struct_at("shm_slot", base() + constant("SHM_SLOTS_AT") + i * slot_type.sizeof)
            if int(slot["state"]):
                print(f"{i}: {SlotPrinter(slot).to_string()}")
                for number, pin in pins_of(slot):
                    print(f"   {number}: {PinPrinter(pin).to_string()}")


class UsersCommand(gdb.Command):
    """rosterd users [N]: the first N users (10), oldest first, with all versions of their bodies."""

    def __init__(self):
        super().__init__("rosterd users", gdb.COMMAND_DATA)

    def invoke(self, argument, from_tty):
        most = int(argument or 10)
        node_type = gdb.lookup_type("struct shm_node")
        offset = next(field.bitpos // 8 for field in node_type.fields() if field.name == "order")
        head = control()["order"]
        at = head["next"]
        while int(at) != int(head.address) and most > 0:
            node = struct_at("shm_node", int(at) - offset)
            print(NodePrinter(node).to_string())
            body = node["body"]
            for _ in range(MOST_VERSIONS):
                if not int(body):
                    break
                print(f"   {BodyPrinter(body.dereference()).to_string()}")
                body = body["prev"]
            at = node["order"]["next"]
            most -= 1


class LogCommand(gdb.Command):
    """rosterd log: whether a commit is sealed in the redo log, and the words that it changes."""

    def __init__(self):
        super().__init__("rosterd log", gdb.COMMAND_DATA)

    def invoke(self, argument, from_tty):
        log = struct_at("shm_log", base() + constant("SHM_LOG_AT"))
        state, count = enum_name("shm_log_state", log["state"]), int(log["count"])
        print(f"log {state}, {count} entries")
        if state == "sealed":
            for i in range(min(count, constant("SHM_LOG_MAX"))):
                entry = log["entry"][i]
                print(f"   {base() + int(entry['offset']):#x} = {int(entry['value']):#x}")


def header():
    found = struct_at("shm_header", base())
    try:
        found.fetch_lazy()
    except gdb.MemoryError:
        raise gdb.GdbError("no segment is mapped in this process (yet)") from None
    return found


def control():
    header()
    return struct_at("shm_control", base() + constant("SHM_CONTROL_AT"))


def register():
    printers = gdb.printing.RegexpCollectionPrettyPrinter("rosterd")
    for name, printer in (("node", NodePrinter), ("body", BodyPrinter), ("pin", PinPrinter),
                          ("slot", SlotPrinter)):
        printers.add_printer(f"shm_{name}", f"^shm_{name}$", printer)
    gdb.printing.register_pretty_printer(gdb.current_objfile(), printers, replace=True)
    for command in (Rosterd, SegmentCommand, SlotsCommand, UsersCommand, LogCommand):
        command()


register()
