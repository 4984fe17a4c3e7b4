create table stock (
    item text primary key,
    units bigint not null,
    constraint stock_not_negative check (units >= 0)
);
create table orders (id bigint primary key, item text not null, total numeric(12, 2) not null);
create table log (order_id bigint not null references orders (id), note bytea);
insert into stock (item, units) values ('tea', 5);
