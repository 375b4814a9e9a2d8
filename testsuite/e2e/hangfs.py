#!/usr/bin/env python3
"""hangfs.py DIR [create] - a file system on which every write hangs, or making a file, until this ends (root, /dev/fuse)

Files can be made (unless that hangs) and opened. A write is never answered, so whoever writes waits in the kernel, in a way that SIGKILL does not
end once the request has been read here. SIGTERM unmounts it and lets all of them go. Speaks the kernel's own protocol (fuse(4), linux/fuse.h).
"""
import ctypes, errno, os, signal, struct, sys, time

FORGET, CREATE, WRITE, INTERRUPT, BATCH_FORGET = 2, 35, 16, 36, 42
LOOKUP, GETATTR, SETATTR, OPEN, STATFS, RELEASE, INIT, OPENDIR, RELEASEDIR = 1, 3, 4, 14, 17, 18, 26, 27, 29

hangs = CREATE if "create" in sys.argv else WRITE
where = os.path.realpath(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
dev = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
options = "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other" % dev
if libc.mount(b"hangfs", where.encode(), b"fuse", 0, options.encode()) < 0:
    sys.exit("hangfs.py: %s: %s" % (where, os.strerror(ctypes.get_errno())))


def stop(*_):
    libc.umount2(where.encode(), 2)
    os._exit(0)     # what waits is answered by the end of the connection


signal.signal(signal.SIGTERM, stop)


def attr(node):
    now = int(time.time())
    mode, size = (0o40777, 4096) if node == 1 else (0o100666, 0)
    return struct.pack("<6Q10I", node, size, 0, now, now, now, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


def answer(op, node):
    if op == INIT:
        return 0, struct.pack("<IIIIHHIIHHI7I", 7, 31, 65536, 0, 12, 9, 65536, 1, 0, 0, 0, *[0] * 7)
    if op in (GETATTR, SETATTR):
        return 0, struct.pack("<QII", 0, 0, 0) + attr(node)
    if op == CREATE:
        return 0, struct.pack("<4QII", 2, 0, 0, 0, 0, 0) + attr(2) + struct.pack("<QII", 1, 0, 0)
    if op in (OPEN, OPENDIR):
        return 0, struct.pack("<QII", 1, 0, 0)
    if op == STATFS:
        return 0, struct.pack("<5Q4I6I", 1, 1, 1, 1, 1, 4096, 255, 4096, 0, *[0] * 6)
    if op in (RELEASE, RELEASEDIR):
        return 0, b""
    return -(errno.ENOENT if op == LOOKUP else errno.ENOSYS), b""


while True:
    request = os.read(dev, 1 << 18)
    _, op, unique, node = struct.unpack_from("<IIQQ", request)
    if op in (FORGET, INTERRUPT, BATCH_FORGET) or op == hangs:
        continue
    error, data = answer(op, node)
    os.write(dev, struct.pack("<IiQ", 16 + len(data), error, unique) + data)
