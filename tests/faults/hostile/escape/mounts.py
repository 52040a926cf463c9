# contained
seen = []
def attempt(what, call):
    try: result = call()
    except BaseException: return
    if result is not False: seen.append(what)
import ctypes
c = ctypes.CDLL(None, use_errno=True)
attempt('tmpfs', lambda: c.mount(b'tmpfs', b'/tmp', b'tmpfs', 0, None) == 0)
attempt('proc', lambda: c.mount(b'proc', b'/tmp', b'proc', 0, None) == 0)
attempt('writable', lambda: c.mount(None, b'/usr', None, 32 | 4096, None) == 0)
attempt('umount', lambda: c.umount2(b'/tmp', 2) == 0)
attempt('umount usr', lambda: c.umount2(b'/usr', 2) == 0)
print("escaped", seen) if seen else print("contained")
