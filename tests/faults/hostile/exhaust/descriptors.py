# crash
x = [open('/dev/null') for i in range(10**6)]
