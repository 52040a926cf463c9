# contained
seen = []
def attempt(what, call):
    try: result = call()
    except BaseException: return
    if result is not False: seen.append(what)
import ctypes
c = ctypes.CDLL(None, use_errno=True)
class Head(ctypes.Structure): _fields_ = [('version', ctypes.c_uint), ('pid', ctypes.c_int)]
data = (ctypes.c_uint * 6)()
attempt('raise', lambda: c.capset(ctypes.byref(Head(0x20080522, 0)), (ctypes.c_uint * 6)(*[0xffffffff] * 6)) == 0)
attempt('have', lambda: c.capget(ctypes.byref(Head(0x20080522, 0)), data) == 0 and any(data))
attempt('ambient', lambda: c.prctl(47, 2, 21, 0, 0) == 0)
attempt('keep', lambda: c.prctl(8, 1, 0, 0, 0) == 0)
attempt('seccomp off', lambda: c.prctl(22, 0, 0, 0, 0) == 0)
print("escaped", seen) if seen else print("contained")
