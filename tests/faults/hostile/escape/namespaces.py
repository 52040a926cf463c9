# contained
seen = []
def attempt(what, call):
    try: result = call()
    except BaseException: return
    if result is not False: seen.append(what)
import ctypes, os
if os.uname().machine != 'x86_64': ctypes = None
c = ctypes.CDLL(None, use_errno=True)
for flag in (0x10000000, 0x20000000, 0x00020000, 0x40000000, 0x08000000, 0x04000000, 0x02000000):
    attempt('unshare %x' % flag, lambda: c.unshare(flag) == 0)
    def clone():
        pid = c.syscall(56, flag | 17, 0, 0, 0, 0)
        if pid == 0: c._exit(0)
        return pid > 0
    attempt('clone %x' % flag, clone)
print("escaped", seen) if seen else print("contained")
