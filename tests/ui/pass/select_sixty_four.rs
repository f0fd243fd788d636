//! As many cases as there may be, without a `recursion_limit`.

use gochan::{Receiver, RecvError, select};

fn sixty_four(rxs: &[Receiver<u8>]) -> (usize, Result<u8, RecvError>) {
    select! {
        recv(rxs[0]) -> value => (0, value),
        recv(rxs[1]) -> value => { (1, value) }
        recv(rxs[2]) -> value => (2, value),
        recv(rxs[3]) -> value => { (3, value) }
        recv(rxs[4]) -> value => (4, value),
        recv(rxs[5]) -> value => { (5, value) }
        recv(rxs[6]) -> value => (6, value),
        recv(rxs[7]) -> value => { (7, value) }
        recv(rxs[8]) -> value => (8, value),
        recv(rxs[9]) -> value => { (9, value) }
        recv(rxs[10]) -> value => (10, value),
        recv(rxs[11]) -> value => { (11, value) }
        recv(rxs[12]) -> value => (12, value),
        recv(rxs[13]) -> value => { (13, value) }
        recv(rxs[14]) -> value => (14, value),
        recv(rxs[15]) -> value => { (15, value) }
        recv(rxs[16]) -> value => (16, value),
        recv(rxs[17]) -> value => { (17, value) }
        recv(rxs[18]) -> value => (18, value),
        recv(rxs[19]) -> value => { (19, value) }
        recv(rxs[20]) -> value => (20, value),
        recv(rxs[21]) -> value => { (21, value) }
        recv(rxs[22]) -> value => (22, value),
        recv(rxs[23]) -> value => { (23, value) }
        recv(rxs[24]) -> value => (24, value),
        recv(rxs[25]) -> value => { (25, value) }
        recv(rxs[26]) -> value => (26, value),
        recv(rxs[27]) -> value => { (27, value) }
        recv(rxs[28]) -> value => (28, value),
        recv(rxs[29]) -> value => { (29, value) }
        recv(rxs[30]) -> value => (30, value),
        recv(rxs[31]) -> value => { (31, value) }
        recv(rxs[32]) -> value => (32, value),
        recv(rxs[33]) -> value => { (33, value) }
        recv(rxs[34]) -> value => (34, value),
        recv(rxs[35]) -> value => { (35, value) }
        recv(rxs[36]) -> value => (36, value),
        recv(rxs[37]) -> value => { (37, value) }
        recv(rxs[38]) -> value => (38, value),
        recv(rxs[39]) -> value => { (39, value) }
        recv(rxs[40]) -> value => (40, value),
        recv(rxs[41]) -> value => { (41, value) }
        recv(rxs[42]) -> value => (42, value),
        recv(rxs[43]) -> value => { (43, value) }
        recv(rxs[44]) -> value => (44, value),
        recv(rxs[45]) -> value => { (45, value) }
        recv(rxs[46]) -> value => (46, value),
        recv(rxs[47]) -> value => { (47, value) }
        recv(rxs[48]) -> value => (48, value),
        recv(rxs[49]) -> value => { (49, value) }
        recv(rxs[50]) -> value => (50, value),
        recv(rxs[51]) -> value => { (51, value) }
        recv(rxs[52]) -> value => (52, value),
        recv(rxs[53]) -> value => { (53, value) }
        recv(rxs[54]) -> value => (54, value),
        recv(rxs[55]) -> value => { (55, value) }
        recv(rxs[56]) -> value => (56, value),
        recv(rxs[57]) -> value => { (57, value) }
        recv(rxs[58]) -> value => (58, value),
        recv(rxs[59]) -> value => { (59, value) }
        recv(rxs[60]) -> value => (60, value),
        recv(rxs[61]) -> value => { (61, value) }
        recv(rxs[62]) -> value => (62, value),
        recv(rxs[63]) -> value => { (63, value) }
    }
}

fn main() {
    let rxs: Vec<_> = (0..64).map(|_| gochan::unbounded().1).collect();
    println!("{:?}", sixty_four(&rxs));
}
