# contained
seen = []
def attempt(what, call):
    try: result = call()
    except BaseException: return
    if result is not False: seen.append(what)
import urllib.request
for url in ('http://127.0.0.1:80/', 'http://169.254.169.254/latest/meta-data/', 'http://10.0.0.1/'):
    attempt(url, lambda: urllib.request.urlopen(url, timeout=1).read())
print("escaped", seen) if seen else print("contained")
