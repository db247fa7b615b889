export { pidfdOpen, pidfdSendSignal } from './pidfd';
