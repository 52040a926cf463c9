# contained
seen = []
def attempt(what, call):
    try: result = call()
    except BaseException: return
    if result is not False: seen.append(what)
import os, signal
for pid in range(3, 400):
    if pid != os.getpid(): attempt('kill %d' % pid, lambda: os.kill(pid, 0))
attempt('parent', lambda: (os.kill(1, signal.SIGKILL), os.kill(1, signal.SIGTERM), False)[2])
print("escaped", seen) if seen else print("contained")
