import { io } from 'socket.io-client';

const host = 'http://127.0.0.1:8000/';
const socket = io(host, {
query: {
stream: 'dwd23RWdwE', // the id of your script
token: 'rts_dev', // the token you generated in your settings
},
});

// event on connect
socket.on('connect', () => {
console.log('Connected to', host);
});

// event on error
socket.on('error', arg => {
console.error('ERROR =>', arg);
});

// event on message
socket.on('message', arg => {
console.error('MESSAGE =>', arg);
});
