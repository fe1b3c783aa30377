/// Laws of the order in which a host's addresses are tried.
module Agent.PropertyTests.HappyEyeballsLaws

open System.Net
open Agent.PropertyTests.Generators
open Agent.PropertyTests.Laws
open Expecto
open FsCheck
open FsCheck.FSharp
// After FsCheck, which has names in common with it.
open Agent.Core
open Agent.Sender

let private address =
    gen {
        let! last = Gen.choose (1, 30)
        let! isNew = Gen.elements [ true; false ]
        return IPAddress.Parse(if isNew then $"fd00::%x{last}" else $"10.0.0.{last}")
    }

let private addresses = upTo 40 address

let tests =
    testList
        "HappyEyeballs"
        [
            law "every address once, until there are too many" addresses (fun all ->
                let ordered = HappyEyeballs.order null [||] all
                let distinct = Array.distinct all

                same ordered.Length (min HappyEyeballs.MostAddresses distinct.Length)
                && Array.forall (fun one -> Array.contains one distinct) ordered
                && same (Array.distinct ordered) ordered)

            law "a family that is dead delays the other by no more than one attempt" addresses (fun all ->
                let families =
                    HappyEyeballs.order null [||] all
                    |> Array.truncate 2
                    |> Array.map _.AddressFamily
                    |> Array.distinct

                let told = all |> Array.map _.AddressFamily |> Array.distinct
                same families.Length told.Length)

            law
                "the winner comes first, and what failed last"
                (Gen.zip (Gen.zip address addresses) addresses)
                (fun ((winner, failed), all) ->
                    let ordered = HappyEyeballs.order winner failed all

                    (not (Array.contains winner all) || same (Array.head ordered) winner)
                    && ordered
                       |> Array.pairwise
                       |> Array.forall (fun (one, next) ->
                           let isBad (address: IPAddress) =
                               not (address.Equals winner) && Array.contains address failed

                           not (isBad one) || isBad next))

            law
                "whichever address is the only good one, it is tried before many connections have failed"
                (Gen.zip (upTo 60 address) (Gen.choose (0, 1000)))
                (fun (all, choice) ->
                    all.Length = 0
                    || (let all = Array.distinct all
                        let good = all[choice % all.Length]

                        // A connection that fails has tried some and remembers them.
                        let rec rounds count failed =
                            let tried = HappyEyeballs.order null failed all

                            if Array.contains good tried then
                                count
                            else
                                rounds (count + 1) (Array.append (Array.except tried failed) tried)

                        rounds 1 [||]
                        <= (all.Length + HappyEyeballs.MostAddresses - 1) / HappyEyeballs.MostAddresses))
        ]
