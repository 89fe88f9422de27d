import { io } from 'socket.io-client';

const host = 'http://127.0.0.1:8000/';
const socket = io(host, {
    query: {
stream: 'dwd23RWdwE', // the id of your script
token: 'rts_dev', // the token you generated in your settings
replayLimit: 123, // Optional, number of messages max replayed at connection
replay: '2h', // Optional
includeMetadata: false,
channel: 'errors'
},
});

// event on message
socket.on('message', arg => {
console.error('MESSAGE =>', arg);
});

// Not the reference's program, but one of the five events that it recommends.
socket.on('warning', arg => {
console.error('WARNING =>', arg);
});
