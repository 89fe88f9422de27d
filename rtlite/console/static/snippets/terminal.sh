export RTLITE_URL=http://127.0.0.1:8000 RTLITE_KEY=rtk_dev
rtlite trigger              # lists the sample events
rtlite trigger view_update  # publishes one
rtlite publish article:hello view_update '{"viewCount": 7}'
rtlite pipe nightly -- echo 'what a program prints'
rtlite tail article:hello --since 1m
