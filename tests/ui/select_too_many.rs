//! One case too many.

#![recursion_limit = "1024"]

use gochan::{Receiver, select};

fn too_many(rxs: &[Receiver<u8>]) {
    select! { //~ too many cases in a `select!` block: at most 64 are possible
        recv(rxs[0]) -> _ => {}
        recv(rxs[1]) -> _ => {}
        recv(rxs[2]) -> _ => {}
        recv(rxs[3]) -> _ => {}
        recv(rxs[4]) -> _ => {}
        recv(rxs[5]) -> _ => {}
        recv(rxs[6]) -> _ => {}
        recv(rxs[7]) -> _ => {}
        recv(rxs[8]) -> _ => {}
        recv(rxs[9]) -> _ => {}
        recv(rxs[10]) -> _ => {}
        recv(rxs[11]) -> _ => {}
        recv(rxs[12]) -> _ => {}
        recv(rxs[13]) -> _ => {}
        recv(rxs[14]) -> _ => {}
        recv(rxs[15]) -> _ => {}
        recv(rxs[16]) -> _ => {}
        recv(rxs[17]) -> _ => {}
        recv(rxs[18]) -> _ => {}
        recv(rxs[19]) -> _ => {}
        recv(rxs[20]) -> _ => {}
        recv(rxs[21]) -> _ => {}
        recv(rxs[22]) -> _ => {}
        recv(rxs[23]) -> _ => {}
        recv(rxs[24]) -> _ => {}
        recv(rxs[25]) -> _ => {}
        recv(rxs[26]) -> _ => {}
        recv(rxs[27]) -> _ => {}
        recv(rxs[28]) -> _ => {}
        recv(rxs[29]) -> _ => {}
        recv(rxs[30]) -> _ => {}
        recv(rxs[31]) -> _ => {}
        recv(rxs[32]) -> _ => {}
        recv(rxs[33]) -> _ => {}
        recv(rxs[34]) -> _ => {}
        recv(rxs[35]) -> _ => {}
        recv(rxs[36]) -> _ => {}
        recv(rxs[37]) -> _ => {}
        recv(rxs[38]) -> _ => {}
        recv(rxs[39]) -> _ => {}
        recv(rxs[40]) -> _ => {}
        recv(rxs[41]) -> _ => {}
        recv(rxs[42]) -> _ => {}
        recv(rxs[43]) -> _ => {}
        recv(rxs[44]) -> _ => {}
        recv(rxs[45]) -> _ => {}
        recv(rxs[46]) -> _ => {}
        recv(rxs[47]) -> _ => {}
        recv(rxs[48]) -> _ => {}
        recv(rxs[49]) -> _ => {}
        recv(rxs[50]) -> _ => {}
        recv(rxs[51]) -> _ => {}
        recv(rxs[52]) -> _ => {}
        recv(rxs[53]) -> _ => {}
        recv(rxs[54]) -> _ => {}
        recv(rxs[55]) -> _ => {}
        recv(rxs[56]) -> _ => {}
        recv(rxs[57]) -> _ => {}
        recv(rxs[58]) -> _ => {}
        recv(rxs[59]) -> _ => {}
        recv(rxs[60]) -> _ => {}
        recv(rxs[61]) -> _ => {}
        recv(rxs[62]) -> _ => {}
        recv(rxs[63]) -> _ => {}
        recv(rxs[64]) -> _ => {}
    }
}

fn main() {
    too_many(&[]);
}
