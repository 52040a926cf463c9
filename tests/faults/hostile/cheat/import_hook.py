# call wrong crash
import sys
class Hook:
    def find_spec(self, name, path, target=None): return None
sys.meta_path.insert(0, Hook())
sys.modules['builtins'].len = lambda x: 3
sys.modules['builtins'].sorted = lambda *x: []
def add(a, b): return {'a': a}
