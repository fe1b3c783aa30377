/// What /sys says of InfiniBand and RoCE adapters. See Documentation/ABI/stable/sysfs-class-infiniband.
[<RequireQualifiedAccess>]
module internal Agent.Sender.Fabric

open System
open Agent.Core
open Agent.Outbound

let private port = [| "device"; "port" |]

/// Files of one number, below a port's directory.
let private numbers: Numbers.NumberFile[] =
    let row (file: string) (name: string) help : Numbers.NumberFile =
        { Numbers.file
              file
              (Family.labelled
                  port
                  (if name.EndsWith("_total", StringComparison.Ordinal) then
                       MetricKind.Counter
                   else
                       MetricKind.Gauge)
                  ("node_infiniband_" + name)
                  help) with
            Scale =
                // Words of four octets, and milliseconds.
                if file.EndsWith("_data", StringComparison.Ordinal) then 4.0
                elif name = "lifespan_seconds" then 0.001
                else 1.0
        }

    [|
        row "counters/VL15_dropped" "vl15_dropped_total" "Number of incoming VL15 packets dropped due to resource limitations."
        row
            "counters/excessive_buffer_overrun_errors"
            "excessive_buffer_overrun_errors_total"
            "Number of times that OverrunErrors consecutive flow control update periods occurred, each having at least one overrun error."
        row "counters/link_downed" "link_downed_total" "Number of times the link failed to recover from an error state and went down"
        row "counters/link_error_recovery" "link_error_recovery_total" "Number of times the link successfully recovered from an error state"
        row
            "counters/local_link_integrity_errors"
            "local_link_integrity_errors_total"
            "Number of times that the count of local physical errors exceeded the threshold specified by LocalPhyErrors."
        row "counters/multicast_rcv_packets" "multicast_packets_received_total" "Number of multicast packets received (including errors)"
        row
            "counters/multicast_xmit_packets"
            "multicast_packets_transmitted_total"
            "Number of multicast packets transmitted (including errors)"
        row
            "counters/port_rcv_constraint_errors"
            "port_constraint_errors_received_total"
            "Number of packets received on the switch physical port that are discarded"
        row "counters/port_rcv_data" "port_data_received_bytes_total" "Number of data octets received on all links"
        row
            "counters/port_rcv_discards"
            "port_discards_received_total"
            "Number of inbound packets discarded by the port because the port is down or congested"
        row "counters/port_rcv_errors" "port_errors_received_total" "Number of packets containing an error that were received on this port"
        row
            "counters/port_rcv_packets"
            "port_packets_received_total"
            "Number of packets received on all VLs by this port (including errors)"
        row
            "counters/port_rcv_remote_physical_errors"
            "port_receive_remote_physical_errors_total"
            "Number of packets marked with the EBP (End of Bad Packet) delimiter received on the port."
        row
            "counters/port_rcv_switch_relay_errors"
            "port_receive_switch_relay_errors_total"
            "Number of packets that could not be forwarded by the switch."
        row
            "counters/port_xmit_constraint_errors"
            "port_constraint_errors_transmitted_total"
            "Number of packets not transmitted from the switch physical port"
        row "counters/port_xmit_data" "port_data_transmitted_bytes_total" "Number of data octets transmitted on all links"
        row
            "counters/port_xmit_discards"
            "port_discards_transmitted_total"
            "Number of outbound packets discarded by the port because the port is down or congested"
        row
            "counters/port_xmit_packets"
            "port_packets_transmitted_total"
            "Number of packets transmitted on all VLs from this port (including errors)"
        row
            "counters/port_xmit_wait"
            "port_transmit_wait_total"
            "Number of ticks during which the port had data to transmit but no data was sent during the entire tick"
        row "counters/symbol_error" "symbol_error_total" "Number of minor link errors detected on one or more physical lanes."
        row "counters/unicast_rcv_packets" "unicast_packets_received_total" "Number of unicast packets received (including errors)"
        row "counters/unicast_xmit_packets" "unicast_packets_transmitted_total" "Number of unicast packets transmitted (including errors)"
        row
            "hw_counters/duplicate_request"
            "duplicate_requests_packets_total"
            "The number of received packets. A duplicate request is a request that had been previously executed."
        row
            "hw_counters/implied_nak_seq_err"
            "implied_nak_seq_errors_total"
            "The number of time the requested decided an ACK. with a PSN larger than the expected PSN for an RDMA read or response."
        row
            "hw_counters/lifespan"
            "lifespan_seconds"
            "The maximum period in ms which defines the aging of the counter reads. Two consecutive reads within this period might return the same values."
        row
            "hw_counters/local_ack_timeout_err"
            "local_ack_timeout_errors_total"
            "The number of times QP's ack timer expired for RC, XRC, DCT QPs at the sender side. The QP retry limit was not exceed, therefore it is still recoverable error."
        row
            "hw_counters/np_cnp_sent"
            "np_cnp_packets_sent_total"
            "The number of CNP packets sent by the Notification Point when it noticed congestion experienced in the RoCEv2 IP header (ECN bits). The counters was added in MLNX_OFED 4.1"
        row
            "hw_counters/np_ecn_marked_roce_packets"
            "np_ecn_marked_roce_packets_received_total"
            "The number of RoCEv2 packets received by the notification point which were marked for experiencing the congestion (ECN bits where '11' on the ingress RoCE traffic) . The counters was added in MLNX_OFED 4.1"
        row
            "hw_counters/out_of_buffer"
            "out_of_buffer_drops_total"
            "The number of drops occurred due to lack of WQE for the associated QPs."
        row "hw_counters/out_of_sequence" "out_of_sequence_packets_received_total" "The number of out of sequence packets received."
        row
            "hw_counters/packet_seq_err"
            "packet_sequence_errors_total"
            "The number of received NAK sequence error packets. The QP retry limit was not exceeded."
        row
            "hw_counters/req_cqe_error"
            "req_cqes_errors_total"
            "The number of times requester detected CQEs completed with errors. The counters was added in MLNX_OFED 4.1"
        row
            "hw_counters/req_cqe_flush_error"
            "req_cqes_flush_errors_total"
            "The number of times requester detected CQEs completed with flushed errors. The counters was added in MLNX_OFED 4.1"
        row
            "hw_counters/req_remote_access_errors"
            "req_remote_access_errors_total"
            "The number of times requester detected remote access errors. The counters was added in MLNX_OFED 4.1"
        row
            "hw_counters/req_remote_invalid_request"
            "req_remote_invalid_request_errors_total"
            "The number of times requester detected remote invalid request errors. The counters was added in MLNX_OFED 4.1"
        row
            "hw_counters/resp_cqe_error"
            "resp_cqes_errors_total"
            "The number of times responder detected CQEs completed with errors. The counters was added in MLNX_OFED 4.1"
        row
            "hw_counters/resp_cqe_flush_error"
            "resp_cqes_flush_errors_total"
            "The number of times responder detected CQEs completed with flushed errors. The counters was added in MLNX_OFED 4.1"
        row
            "hw_counters/resp_local_length_error"
            "resp_local_length_errors_total"
            "The number of times responder detected local length errors. The counters was added in MLNX_OFED 4.1"
        row
            "hw_counters/resp_remote_access_errors"
            "resp_remote_access_errors_total"
            "The number of times responder detected remote access errors. The counters was added in MLNX_OFED 4.1"
        row
            "hw_counters/rnr_nak_retry_err"
            "rnr_nak_retry_packets_received_total"
            "The number of received RNR NAK packets. The QP retry limit was not exceeded."
        row
            "hw_counters/roce_adp_retrans"
            "roce_adp_retransmits_total"
            "The number of adaptive retransmissions for RoCE traffic. The counter was added in MLNX_OFED rev 5.0-1.0.0.0 and kernel v5.6.0"
        row
            "hw_counters/roce_adp_retrans_to"
            "roce_adp_retransmits_timeout_total"
            "The number of times RoCE traffic reached timeout due to adaptive retransmission. The counter was added in MLNX_OFED rev 5.0-1.0.0.0 and kernel v5.6.0"
        row
            "hw_counters/roce_slow_restart"
            "roce_slow_restart_used_total"
            "The number of times RoCE slow restart was used. The counter was added in MLNX_OFED rev 5.0-1.0.0.0 and kernel v5.6.0"
        row
            "hw_counters/roce_slow_restart_cnps"
            "roce_slow_restart_cnps_total"
            "The number of times RoCE slow restart generated CNP packets. The counter was added in MLNX_OFED rev 5.0-1.0.0.0 and kernel v5.6.0"
        row
            "hw_counters/roce_slow_restart_trans"
            "roce_slow_restart_total"
            "The number of times RoCE slow restart changed state to slow restart. The counter was added in MLNX_OFED rev 5.0-1.0.0.0 and kernel v5.6.0"
        row
            "hw_counters/rp_cnp_handled"
            "rp_cnp_packets_handled_total"
            "The number of CNP packets handled by the Reaction Point HCA to throttle the transmission rate. The counters was added in MLNX_OFED 4.1"
        row
            "hw_counters/rp_cnp_ignored"
            "rp_cnp_ignored_packets_received_total"
            "The number of CNP packets received and ignored by the Reaction Point HCA. This counter should not raise if RoCE Congestion Control was enabled in the network. If this counter raise, verify that ECN was enabled on the adapter."
        row "hw_counters/rx_atomic_requests" "rx_atomic_requests_total" "The number of received ATOMIC request for the associated QPs."
        row
            "hw_counters/rx_dct_connect"
            "rx_dct_connect_requests_total"
            "The number of received connection requests for the associated DCTs."
        row
            "hw_counters/rx_icrc_encapsulated"
            "rx_icrc_encapsulated_errors_total"
            "The number of RoCE packets with ICRC errors. This counter was added in MLNX_OFED 4.4 and kernel 4.19"
        row "hw_counters/rx_read_requests" "rx_read_requests_total" "The number of received READ requests for the associated QPs."
        row "hw_counters/rx_write_requests" "rx_write_requests_total" "The number of received WRITE requests for the associated QPs."
        row "state" "state_id" "State of the InfiniBand port (0: no change, 1: down, 2: init, 3: armed, 4: active, 5: act defer)"
        row
            "phys_state"
            "physical_state_id"
            "Physical state of the InfiniBand port (0: no change, 1: sleep, 2: polling, 3: disable, 4: shift, 5: link up, 6: link error recover, 7: phytest)"
    |]

let private rate =
    Family.labelled port MetricKind.Gauge "node_infiniband_rate_bytes_per_second" "Maximum signal transfer rate"

let private info =
    Family.labelled
        [| "device"; "board_id"; "firmware_version"; "hca_type" |]
        MetricKind.Gauge
        "node_infiniband_info"
        "Non-numeric data from /sys/class/infiniband/<device>, value is always 1."

/// Files of words, below an adapter's directory, in the order of the labels.
let private words = [| "board_id"; "fw_ver"; "hca_type" |]

let private tell _ (texts: FileText[]) (figures: Figures) =
    Numbers.ofFiles numbers id texts figures

    // The files of an adapter stand together.
    let mutable from = 0

    while from < texts.Length do
        let text = texts[from]

        if text.Names.Length = 1 then
            let labels = Array.create (words.Length + 1) ""
            labels[0] <- text.Names[0]

            while from < texts.Length
                  && texts[from].Names.Length = 1
                  && texts[from].Names[0] = labels[0] do
                labels[1 + Array.IndexOf(words, texts[from].File)] <- Numbers.line texts[from]
                from <- from + 1

            figures.Add(info, labels, 1.0)
        else
            // `400 Gb/sec (4X NDR)`
            let mutable cursor = Cursor("", text.Text.Span)
            let mutable gigabits = 0.0

            if text.File = "rate" && cursor.NextLine() && cursor.Decimal &gigabits then
                figures.Add(rate, text.Names, gigabits * 1e9 / 8.0)

            from <- from + 1

/// The collectors.
let all: Collector[] =
    [|
        Collector(
            "infiniband",
            true,
            [|
                FileSet.Sys("class/infiniband/*", [||]).And words
                FileSet.Sys("class/infiniband/*/ports/*", Array.append (numbers |> Array.map (fun row -> row.File)) [| "rate" |])
            |],
            tell
        )
    |]
