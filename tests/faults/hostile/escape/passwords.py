# contained
seen = []
def attempt(what, call):
    try: result = call()
    except BaseException: return
    if result is not False: seen.append(what)
for path in ('/etc/passwd', '/etc/shadow', '/etc/hosts', '/etc/hostname'):
    attempt(path, lambda: open(path).read())
print("escaped", seen) if seen else print("contained")
