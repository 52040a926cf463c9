# contained
seen = []
def attempt(what, call):
    try: result = call()
    except BaseException: return
    if result is not False: seen.append(what)
import ctypes, os
if os.uname().machine != 'x86_64': ctypes = None
c = ctypes.CDLL(None, use_errno=True)
def in_child(number):
    pid = os.fork()
    if pid == 0: os._exit(7 if c.syscall(0x40000000 | number, 2, 1, 0, 0, 0, 0) != -1 else 0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
for number in (41, 101, 165, 272, 319): attempt('x32 %d' % number, lambda: in_child(number))
print("escaped", seen) if seen else print("contained")
