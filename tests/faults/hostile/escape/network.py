# contained
seen = []
def attempt(what, call):
    try: result = call()
    except BaseException: return
    if result is not False: seen.append(what)
import _socket
for family in (_socket.AF_INET, _socket.AF_INET6, _socket.AF_UNIX, 16, 17, 40, 38):
    for kind in (1, 2, 3, 5):
        attempt('socket %d %d' % (family, kind), lambda: _socket.socket(family, kind, 0))
attempt('pair', lambda: _socket.socketpair())
print("escaped", seen) if seen else print("contained")
