# crash
x = [bytearray(1 << 26) for i in range(1000)]
