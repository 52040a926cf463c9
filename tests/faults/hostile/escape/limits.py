# contained
seen = []
def attempt(what, call):
    try: result = call()
    except BaseException: return
    if result is not False: seen.append(what)
import resource
for what in range(16):
    try: soft, hard = resource.getrlimit(what)
    except ValueError: continue
    if hard != resource.RLIM_INFINITY: attempt('limit %d' % what, lambda: resource.setrlimit(what, (hard, hard + 1)))
attempt('of pid 1', lambda: resource.prlimit(1, resource.RLIMIT_CPU))
attempt('core', lambda: resource.getrlimit(resource.RLIMIT_CORE)[1] != 0)
print("escaped", seen) if seen else print("contained")
