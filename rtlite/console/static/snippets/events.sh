# In another terminal: rtlite trigger created --url http://127.0.0.1:8000 --key rtk_dev
rtlite tail changes:product --via ws --url http://127.0.0.1:8000 --key pk_live_dev
