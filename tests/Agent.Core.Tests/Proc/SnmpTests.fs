module Agent.Core.Tests.Proc.SnmpTests

open System
open Agent.Core.Proc
open Agent.TestSupport.Fixtures
open Expecto

let private parse (text: byte[]) = Snmp.parse (ReadOnlySpan text)

/// From a machine with kernel 6.18; `nstat -asz TcpOutSegs TcpRetransSegs` printed 4196996 and 1859.
let private captured =
    "Ip: Forwarding DefaultTTL InReceives InHdrErrors\n\
     Ip: 1 64 4289116 0\n\
     Tcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens AttemptFails EstabResets CurrEstab InSegs OutSegs RetransSegs InErrs OutRsts InCsumErrors\n\
     Tcp: 1 200 120000 -1 310333 270413 36946 5228 2 4198155 4196996 1859 0 41284 0\n\
     Udp: InDatagrams NoPorts InErrors OutDatagrams\n\
     Udp: 90853 66 0 90919\n"B

let private counts sent retransmitted : Snmp.Tcp =
    {
        Sent = sent
        Retransmitted = retransmitted
    }

[<Tests>]
let tests =
    testList
        "Proc.Snmp"
        [
            testCase "TCP's counters, among those of other protocols"
            <| fun () -> Expect.equal (parse captured) (Ok(counts (ValueSome 4196996UL) (ValueSome 1859UL))) "captured"

            testCase "names decide, not positions"
            <| fun () ->
                Expect.equal (parse "Tcp: RetransSegs New OutSegs\nTcp: 5 x 7\n"B) (Ok(counts (ValueSome 7UL) (ValueSome 5UL))) "moved"
                Expect.equal (parse "Tcp: OutSegs\nTcp: 7\n"B) (Ok(counts (ValueSome 7UL) ValueNone)) "one is not there"

            testCase "what is wrong is named"
            <| fun () ->
                Expect.equal (located (parse "Tcp: OutSegs\nTcp: many\n"B)) ("/proc/net/snmp", 2, "OutSegs", "many") "no number"
                Expect.equal (located (parse "Tcp: A RetransSegs\nTcp: 1\n"B)) ("/proc/net/snmp", 2, "RetransSegs", "") "too few numbers"
                Expect.equal (located (parse "Tcp: OutSegs\nUdp: 1\n"B)) ("/proc/net/snmp", 2, "Tcp", "Udp:") "no numbers"
                Expect.isError (parse "Tcp: OutSegs\nTcp: 12"B) "torn"
                Expect.isError (parse "Ip: Forwarding\nIp: 1\n"B) "no TCP"
                Expect.isError (parse ""B) "empty"
        ]
