# contained
seen = []
def attempt(what, call):
    try: result = call()
    except BaseException: return
    if result is not False: seen.append(what)
import os, signal
pid = os.fork()
if pid == 0: os.abort()
os.waitpid(pid, 0)
attempt('core', lambda: [f for f in os.listdir('.') if 'core' in f] or False)
print("escaped", seen) if seen else print("contained")
