# lines wrong
