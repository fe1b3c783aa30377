/// Laws of which server a machine that enrols is.
module Agent.PropertyTests.Dashboard.EnrolmentLaws

open System
open Agent.PropertyTests
open Agent.PropertyTests.Laws
open Agent.Receiver
open Expecto
open FsCheck
open FsCheck.FSharp

let private now = DateTimeOffset(2026, 11, 28, 12, 0, 0, TimeSpan.Zero)
let private ids = Gen.elements [ ""; String('1', 32); String('2', 32) ]
let private names = Gen.elements [ "a"; "A"; "b"; "c" ]

let private machines =
    gen {
        let! count = Gen.choose (0, 5)

        return!
            Gen.listOfLength
                count
                (gen {
                    let! id = ids
                    let! name = names
                    let! minutes = Gen.choose (0, 20)

                    return
                        {
                            Id = 0
                            MachineId = id
                            Hostname = name
                            LastSample =
                                if minutes = 20 then
                                    ValueNone
                                else
                                    ValueSome(now.AddMinutes -(float minutes))
                        }
                })
            |> Gen.map (List.mapi (fun i machine -> { machine with Id = i + 1 }) >> Array.ofList)
    }

let private request =
    gen {
        let! id = ids
        let! name = names
        let! slug = Gen.elements [ ""; "box"; "a"; "gpu-01" ]

        return
            {
                Key = "k"
                MachineId = id
                Hostname = name
                Slug = slug
            }
    }

let private same (one: string) (other: string) =
    String.Equals(one, other, StringComparison.OrdinalIgnoreCase)

let tests: Test =
    testList
        "Enrolment"
        [
            law "a server that sends is given to nobody but the same machine" (Gen.zip machines request) (fun (machines, request) ->
                match Enrolment.decide now machines request with
                | EnrolDecision.New -> true
                | EnrolDecision.Again id ->
                    let machine = machines |> Array.find (fun machine -> machine.Id = id)
                    let hasId = request.MachineId <> "" && machine.MachineId = request.MachineId
                    let hasName = same machine.Hostname request.Hostname

                    let isSilent =
                        machine.LastSample
                        |> ValueOption.forall (fun last -> now - last > Enrolment.Silence)

                    (hasId || hasName) && (isSilent || (hasId && hasName)))

            law "a machine that enrols twice is one server" (Gen.zip machines request) (fun (machines, request) ->
                let id =
                    match Enrolment.decide now machines request with
                    | EnrolDecision.Again id -> id
                    | EnrolDecision.New -> machines.Length + 1

                let after =
                    machines
                    |> Array.filter (fun machine -> machine.Id <> id)
                    |> Array.append
                        [|
                            {
                                Id = id
                                MachineId = request.MachineId
                                Hostname = request.Hostname
                                LastSample = ValueNone
                            }
                        |]

                Enrolment.decide now after request = EnrolDecision.Again id)

            law
                "a slug is valid and not taken"
                (Gen.zip request (Gen.listOf (Gen.elements [ "a"; "a-2"; "b"; "box"; "gpu-01" ])))
                (fun (request, taken) ->
                    let slug = Enrolment.slugFor (Func<string, bool>(fun slug -> List.contains slug taken)) request

                    Registration.isSlug slug && not (List.contains slug taken))

            law "any host name makes a slug" Generators.anyText (fun name ->
                Registration.isSlug (
                    Enrolment.slugFor
                        (Func<string, bool>(fun _ -> false))
                        {
                            Key = "k"
                            MachineId = ""
                            Hostname = name
                            Slug = ""
                        }
                ))
        ]
