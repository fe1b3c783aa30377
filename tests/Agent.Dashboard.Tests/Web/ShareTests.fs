/// Which addresses count as one client where each address has a share.
module Agent.Dashboard.Tests.ShareTests

open System.Net
open Agent.Dashboard.Web
open Expecto

[<Tests>]
let tests =
    testList
        "Shares"
        [
            testCase "neighbours in a network of 64 bits are one owner, and IPv4 is the same as IPv6"
            <| fun () ->
                let owner (text: string) =
                    AddressShares.Owner(IPAddress.Parse text)

                Expect.equal (owner "2001:db8:1:2:3::4") (owner "2001:db8:1:2:ffff::1") "one network"
                Expect.notEqual (owner "2001:db8:1:2::1") (owner "2001:db8:1:3::1") "two networks"
                Expect.equal (owner "::ffff:192.0.2.7") (owner "192.0.2.7") "mapped"
                Expect.notEqual (owner "192.0.2.7") (owner "192.0.2.8") "two addresses"
        ]
